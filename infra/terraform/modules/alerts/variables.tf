variable "prefix" {
  description = "Prefix of the topic's name (`prod`: `prod-alerts`)."
  type        = string
}

variable "kms_key_arn" {
  description = "The key of the topic; its policy admits CloudWatch."
  type        = string
}

variable "subscribers" {
  description = "E-mail addresses that alarms are sent to. AWS asks each for its consent first."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.subscribers : can(regex("^[^@\\s]+@[^@\\s]+$", address))])
    error_message = "subscribers: each is an e-mail address."
  }
}
