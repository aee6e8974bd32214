variable "account_id" {
  description = "The AWS account."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id: twelve digits."
  }
}

variable "region" {
  description = "The AWS region: the cluster's."
  type        = string
}

variable "cluster_name" {
  description = "The cluster (infra/environments/cluster)."
  type        = string
  default     = "reminders"
}

variable "source_email" {
  description = "The sender of e-mails, `address` or `Name <address>`, of a domain that this environment alone sends from."
  type        = string
}

variable "email" {
  description = "Settings of e-mail (module email). `stored_template`: a template stored by SES in place of the built-in one."
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
    instance_class        = optional(string, "db.m7g.large")
    multi_az              = optional(bool, true)
    storage_gib           = optional(object({ initial = optional(number, 100), max = optional(number, 1000) }), {})
    backup_retention_days = optional(number, 7)
    connection_alarm      = optional(number, 600)
  })
  default = {}
}

variable "backup" {
  description = "The daily backup (module backup)."
  type = object({
    enabled                 = optional(bool, true)
    retention_days          = optional(number, 90)
    snapshot_retention_days = optional(number, 3)
  })
  default = {}
}

variable "log_retention_days" {
  description = "Retention of logs in CloudWatch."
  type        = number
  default     = 90
}

variable "alert_subscribers" {
  description = "E-mail addresses that alarms are sent to."
  type        = set(string)
  default     = []
}

variable "deletion_protection" {
  description = "`true`: resources with data refuse to be destroyed. To destroy: apply once with `false`, then destroy."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Further tags on everything."
  type        = map(string)
  default     = {}
}
