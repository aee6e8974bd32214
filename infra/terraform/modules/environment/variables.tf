variable "environment" {
  description = "Name of the environment and of its namespace."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.environment))
    error_message = "environment: a name as Kubernetes takes it for a namespace."
  }
}

variable "prefix" {
  description = "Prefix of every name: `dev`, `stg`, `prod`, or a clone's."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{0,9}$", var.prefix))
    error_message = "prefix: one to ten lower-case letters and digits, a letter first."
  }
}

variable "cluster_name" {
  description = "The cluster; network and identity provider are found by it."
  type        = string
}

variable "source_email" {
  description = "The sender of e-mails, `address` or `Name <address>`. Each environment sends from a domain of its own."
  type        = string
}

variable "email" {
  description = "Further settings of e-mail (module email)."
  type = object({
    identity            = optional(string, "domain")
    stored_template     = optional(bool, false)
    sandbox_recipients  = optional(set(string), [])
    route53_zone_id     = optional(string)
    mail_from_subdomain = optional(string, "bounce")
    dmarc_policy        = optional(string, "v=DMARC1; p=none")
    account_alarms      = optional(bool, false)
  })
  default = {}
}

variable "database" {
  description = "The database's size (module database)."
  type = object({
    engine_version        = optional(string, "17")
    instance_class        = string
    multi_az              = bool
    storage_gib           = optional(object({ initial = optional(number, 50), max = optional(number, 500) }), {})
    backup_retention_days = number
    connection_alarm      = optional(number, 300)
  })
}

variable "backup" {
  description = "The daily backup (module backup)."
  type = object({
    enabled                 = optional(bool, true)
    retention_days          = optional(number, 1095)
    snapshot_retention_days = optional(number, 7)
  })
  default = {}
}

variable "raw_message_delivery" {
  description = "Raw deliveries or SNS's envelope, by queue (module messaging)."
  type        = map(bool)
  default     = {}
}

variable "alert_subscribers" {
  description = "E-mail addresses that alarms are sent to."
  type        = set(string)
  default     = []
}

variable "deletion_protection" {
  description = "`true`: resources with data refuse to be destroyed. `false`, applied once, makes everything destroyable."
  type        = bool
  default     = true
}

variable "log_retention_days" {
  description = "Retention of logs."
  type        = number
  default     = 365
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the services' roles, if the organisation requires one."
  type        = string
  default     = null
}
