variable "prefix" {
  description = "Prefix of every name."
  type        = string
}

variable "namespace" {
  description = "The namespace whose External Secrets may read."
  type        = string
}

variable "oidc_provider_arn" {
  description = "ARN of the IAM OIDC provider of the cluster."
  type        = string
}

variable "kms_key_arn" {
  description = "The key of the secrets."
  type        = string
}

variable "values" {
  description = "Secrets whose values are known here: name without prefix -> keys and values. They contain names and no credentials."
  type        = map(map(string))
}

variable "entered_by_hand" {
  description = "Secrets whose values are entered in Secrets Manager, as JSON: name without prefix -> description of the value."
  type        = map(string)
  default = {
    fcm-secrets      = "JSON with the key project_config: the service account of the Firebase project, as one string"
    operator-secrets = "JSON with the key token: the bearer token of operator calls, as openssl rand -hex 32 makes it"
  }
}

variable "other_secret_arns" {
  description = "Further secrets that External Secrets may read: the database's."
  type        = list(string)
  default     = []
}

variable "recovery_window_days" {
  description = "Days for which a destroyed secret can be recovered; 0 destroys it at once."
  type        = number
  default     = 30

  validation {
    condition     = var.recovery_window_days == 0 || (var.recovery_window_days >= 7 && var.recovery_window_days <= 30)
    error_message = "recovery_window_days: 0, or 7 to 30."
  }
}
