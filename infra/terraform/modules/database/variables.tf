variable "prefix" {
  description = "Prefix of every name (`prod`: instance `prod-reminders`, secrets `prod-reminder-db-secrets`, …)."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{0,9}$", var.prefix))
    error_message = "prefix: one to ten lower-case letters and digits, a letter first."
  }
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets for the database, in at least two availability zones."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "subnet_ids: RDS asks for subnets in at least two availability zones."
  }
}

variable "client_security_group_ids" {
  description = "Security groups that may connect by name: the cluster's."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "The key of storage, secrets, logs and performance data."
  type        = string
}

variable "engine_version" {
  description = "PostgreSQL's version: the major one alone lets RDS choose the minor one."
  type        = string
  default     = "17"

  validation {
    condition     = can(regex("^1[5-9](\\.[0-9]+)?$", var.engine_version))
    error_message = "engine_version: PostgreSQL 15 or later."
  }
}

variable "instance_class" {
  description = "The instance's class."
  type        = string
  default     = "db.t4g.medium"

  validation {
    condition     = can(regex("^db\\.", var.instance_class))
    error_message = "instance_class: begins with db."
  }
}

variable "multi_az" {
  description = "`true`: a standby in another availability zone takes over by itself."
  type        = bool
  default     = true
}

variable "storage_gib" {
  description = "Initial storage, and the limit of its automatic growth."
  type        = object({ initial = optional(number, 50), max = optional(number, 500) })
  default     = {}

  validation {
    condition     = var.storage_gib.initial >= 20 && var.storage_gib.max >= var.storage_gib.initial * 1.1
    error_message = "storage_gib: at least 20 GiB (gp3), and room to grow by a tenth."
  }
}

variable "backup_retention_days" {
  description = "Days for which RDS can restore to any moment."
  type        = number
  default     = 14

  validation {
    condition     = var.backup_retention_days >= 1 && var.backup_retention_days <= 35
    error_message = "backup_retention_days: 1 to 35."
  }
}

variable "deletion_protection" {
  description = "`true`: the instance cannot be destroyed; its destruction leaves a last snapshot and keeps its backups; secrets stay recoverable for 30 days."
  type        = bool
  default     = true
}

variable "final_snapshot_suffix" {
  description = "Suffix of the last snapshot's name; change it to destroy a second time."
  type        = string
  default     = "1"
}

variable "log_retention_days" {
  description = "Retention of PostgreSQL's log in CloudWatch."
  type        = number
  default     = 365
}

variable "connection_alarm" {
  description = "Number of connections that raises an alarm."
  type        = number
  default     = 300
}

variable "alarm_topic_arns" {
  description = "Topics that alarms are published to."
  type        = list(string)
  default     = []
}
