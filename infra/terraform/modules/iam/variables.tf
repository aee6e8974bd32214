variable "prefix" {
  description = "Prefix of roles and service accounts (`prod`: role and service account `prod-event-service`)."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{0,9}$", var.prefix))
    error_message = "prefix: one to ten lower-case letters and digits, a letter first."
  }
}

variable "namespace" {
  description = "The namespace whose service accounts take the roles."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace: a name as Kubernetes takes it; no wildcard."
  }
}

variable "oidc_provider_arn" {
  description = "ARN of the IAM OIDC provider of the cluster."
  type        = string

  validation {
    condition     = can(regex("^arn:[^:]+:iam::[0-9]{12}:oidc-provider/.+", var.oidc_provider_arn))
    error_message = "oidc_provider_arn: arn:aws:iam::<account>:oidc-provider/<issuer without https://>."
  }
}

variable "topic_arns" {
  description = "ARNs of the topics by name (module messaging)."
  type        = object({ event = string, notification = string })
}

variable "queue_arns" {
  description = "ARNs of the queues by name (module messaging)."
  type        = object({ event = string, notification = string, ses-feedback = string })
}

variable "dead_letter_queue_arns" {
  description = "ARNs of the dead-letter queues by the name of the queue they belong to (module messaging)."
  type        = object({ event = string, notification = string, ses-feedback = string })
}

variable "messages_key_arn" {
  description = "The key of topics and queues."
  type        = string
}

variable "sending_arns" {
  description = "Resources of a send: identities, configuration set, template (module email)."
  type        = list(string)
}

variable "source_address" {
  description = "The only permitted sender address."
  type        = string
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of every role, if the organisation requires one."
  type        = string
  default     = null
}
