variable "prefix" {
  description = "Prefix of every name of the environment, without a hyphen at its end (`dev`, `stg`, `prod`)."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{0,9}$", var.prefix))
    error_message = "prefix: one to ten lower-case letters and digits, a letter first."
  }
}

variable "deletion_window_days" {
  description = "Days for which a destroyed key can be recovered."
  type        = number
  default     = 30

  validation {
    condition     = var.deletion_window_days >= 7 && var.deletion_window_days <= 30
    error_message = "deletion_window_days: AWS takes 7 to 30."
  }
}
