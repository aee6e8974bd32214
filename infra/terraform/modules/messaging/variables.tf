variable "prefix" {
  description = "Prefix of every name (`dev`: `dev-event-topic`, `dev-event-queue`, `dev-event-queue-dlq`, …)."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{0,9}$", var.prefix))
    error_message = "prefix: one to ten lower-case letters and digits, a letter first."
  }
}

variable "kms_key_arn" {
  description = "The key of topics and queues; its policy admits SNS and SES."
  type        = string
}

variable "configuration_set_name" {
  description = "SES's configuration set that may publish to the feedback topic."
  type        = string
}

variable "raw_message_delivery" {
  description = "`true`: a queue gets messages as they were published; `false`: in SNS's JSON envelope. The services read both; raw is smaller."
  type = object({
    event        = optional(bool, true)
    notification = optional(bool, true)
    ses-feedback = optional(bool, true)
  })
  default = {}
}

variable "max_receive_count" {
  description = "Number of receives after which SQS moves a message to the dead-letter queue."
  type = object({
    event        = optional(number, 5)
    notification = optional(number, 5)
    # A bounce may be faster than our record of the e-mail, so notification-service returns such a
    # message up to four times on purpose. That must not use up the receives for real failures.
    ses-feedback = optional(number, 10)
  })
  default = {}

  validation {
    condition     = alltrue([for count in values(var.max_receive_count) : count >= 3 && count <= 1000])
    error_message = "max_receive_count: 3 to 1000; below 3, a roll-out that interrupts two consumers makes dead letters of healthy messages."
  }
}

variable "retention_days" {
  description = "Retention of messages in a queue. Dead letters are kept for 14 days, SQS's maximum, counted from the first send of the message."
  type        = number
  default     = 7

  validation {
    condition     = var.retention_days >= 1 && var.retention_days <= 13
    error_message = "retention_days: 1 to 13, so that a dead letter has time left when it comes to its queue."
  }
}

variable "oldest_message_alarm_seconds" {
  description = "Age of a queue's oldest message that raises an alarm."
  type = object({
    event        = optional(number, 300)
    notification = optional(number, 120)
    ses-feedback = optional(number, 3600)
  })
  default = {}

  validation {
    condition     = alltrue([for seconds in values(var.oldest_message_alarm_seconds) : seconds >= 60])
    error_message = "oldest_message_alarm_seconds: at least 60, the finest that CloudWatch counts for SQS."
  }
}

variable "alarms" {
  description = "`true`: creates CloudWatch alarms. An emulator never raises them."
  type        = bool
  default     = true
}

variable "alarm_topic_arns" {
  description = "Topics that alarms are published to. Without any, nobody is informed."
  type        = list(string)
  default     = []
}
