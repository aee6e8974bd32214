variable "endpoint" {
  description = "The emulator's address."
  type        = string

  validation {
    condition     = can(regex("^https?://(127\\.0\\.0\\.1|localhost|\\[::1\\]|[a-z0-9-]+)(:[0-9]+)?$", var.endpoint))
    error_message = "endpoint: http://host:port of this machine or of a neighbouring container, never AWS itself."
  }
}

variable "region" {
  description = "The region that the emulator plays."
  type        = string
  default     = "us-east-1"
}

variable "prefix" {
  description = "Prefix of every name."
  type        = string
  default     = "local"
}

variable "source_email" {
  description = "The sender of e-mails."
  type        = string
  default     = "reminders@example.com"
}

variable "raw_message_delivery" {
  description = "Raw deliveries or SNS's envelope, by queue; the services read both."
  type        = map(bool)
  default     = {}
}
