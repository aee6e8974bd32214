variable "prefix" {
  description = "Prefix of every name."
  type        = string
}

variable "database_identifier" {
  description = "Identifier of the RDS instance (module database)."
  type        = string
}

variable "database_arn" {
  description = "Its ARN."
  type        = string
}

variable "kms_key_arn" {
  description = "The key of snapshots, exports and bucket."
  type        = string
}

variable "namespace" {
  description = "The namespace whose CronJob writes dumps beside the exports (k8s/components/backup)."
  type        = string
}

variable "oidc_provider_arn" {
  description = "ARN of the IAM OIDC provider of the cluster."
  type        = string
}

variable "enabled" {
  description = "`true`: the schedule is enabled."
  type        = bool
  default     = true
}

variable "schedule" {
  description = "Time of the snapshot, in UTC."
  type        = string
  default     = "cron(0 0 * * ? *)"

  validation {
    condition     = can(regex("^(cron|rate)\\(.+\\)$", var.schedule))
    error_message = "schedule: cron(…) or rate(…), as EventBridge Scheduler takes it."
  }
}

variable "retention_days" {
  description = "Retention of exports: three years."
  type        = number
  default     = 1095

  validation {
    condition     = var.retention_days >= 7
    error_message = "retention_days: at least a week."
  }
}

variable "snapshot_retention_days" {
  description = "Retention of the snapshots beside the exports. They restore at once, but AWS allows 100 of them per account and region."
  type        = number
  default     = 7

  validation {
    condition     = var.snapshot_retention_days >= 1 && var.snapshot_retention_days <= 30
    error_message = "snapshot_retention_days: 1 to 30; three environments share AWS's quota of 100."
  }
}

variable "force_destroy" {
  description = "`true`: the bucket may be destroyed with its content."
  type        = bool
  default     = false
}

variable "log_retention_days" {
  description = "Retention of the log of failed runs in CloudWatch."
  type        = number
  default     = 365
}

variable "alarm_topic_arns" {
  description = "Topics that alarms are published to."
  type        = list(string)
  default     = []
}
