variable "prefix" {
  description = "Prefix of the key's alias."
  type        = string
}

variable "database_arn" {
  description = "The RDS instance whose backups are copied, in its own region."
  type        = string

  validation {
    condition     = can(regex("^arn:[^:]+:rds:[^:]+:[0-9]{12}:db:.+", var.database_arn))
    error_message = "database_arn: the ARN of an RDS instance."
  }
}

variable "retention_days" {
  description = "Days for which the copy can restore to any moment."
  type        = number
  default     = 7

  validation {
    condition     = var.retention_days >= 1 && var.retention_days <= 35
    error_message = "retention_days: 1 to 35."
  }
}

variable "deletion_window_days" {
  description = "Days for which the destroyed key can be recovered."
  type        = number
  default     = 30
}
