variable "prefix" {
  description = "Prefix of the names of configuration set and template."
  type        = string
}

variable "source_email" {
  description = "The sender, `address` or `Name <address>` (SES_SOURCE_EMAIL)."
  type        = string

  validation {
    condition     = can(regex("^([^<>]*<)?[^@<>\\s]+@[a-z0-9-]+(\\.[a-z0-9-]+)+>?$", var.source_email))
    error_message = "source_email: an address, or a name with an address in angle brackets; its domain in lower case."
  }
}

variable "identity" {
  description = "Identity that SES verifies: `domain` (by DNS; signs with DKIM) or `address` (by a mail that somebody answers; for a sandbox)."
  type        = string
  default     = "domain"

  validation {
    condition     = contains(["domain", "address"], var.identity)
    error_message = "identity: domain or address."
  }
}

variable "configuration_set_name" {
  description = "Name of the configuration set (SES_CONFIGURATION_SET)."
  type        = string
}

variable "default_configuration_set" {
  description = "`true`: the configuration set is the identity's default, so that there is feedback about e-mails that do not name it too."
  type        = bool
  default     = true
}

variable "feedback_topic_arn" {
  description = "The topic for SES's bounces and complaints; its policy admits this configuration set."
  type        = string
}

variable "feedback_events" {
  description = "Events that SES publishes. Those that the suite uses are required; DELIVERY and SEND are one message per e-mail each, and are only counted."
  type        = set(string)
  default     = ["BOUNCE", "COMPLAINT", "REJECT", "RENDERING_FAILURE", "DELIVERY_DELAY"]

  validation {
    condition     = length(setsubtract(["BOUNCE", "COMPLAINT", "REJECT", "RENDERING_FAILURE"], var.feedback_events)) == 0
    error_message = "feedback_events: BOUNCE, COMPLAINT, REJECT and RENDERING_FAILURE are what corrects deliveries and suppresses addresses."
  }
  validation {
    condition = length(setsubtract(var.feedback_events, [
      "BOUNCE", "COMPLAINT", "REJECT", "RENDERING_FAILURE", "DELIVERY", "DELIVERY_DELAY", "SEND"
    ])) == 0
    error_message = "feedback_events: opens and clicks are not tracked; of BOUNCE, COMPLAINT, REJECT, RENDERING_FAILURE, DELIVERY, DELIVERY_DELAY, SEND only."
  }
}

variable "sandbox_recipients" {
  description = "Recipients while the account is in SES's sandbox, where mail goes to verified addresses only: each gets a mail to answer."
  type        = set(string)
  default     = []
}

variable "route53_zone_id" {
  description = "The hosted zone of the sender's domain, for DKIM, MAIL FROM and DMARC records. Null: enter the output `dns_records` elsewhere."
  type        = string
  default     = null
}

variable "mail_from_subdomain" {
  description = "Subdomain of the sender's domain that bounces go to (`bounce` of `example.com`), so that SPF is aligned. Null: SES's own."
  type        = string
  default     = "bounce"
}

variable "dmarc_policy" {
  description = "The DMARC record of the sender's domain, or null for none. Begin with p=none and tighten when reports are clean."
  type        = string
  default     = "v=DMARC1; p=none"
}

variable "alarm_topic_arns" {
  description = "Topics that alarms are published to."
  type        = list(string)
  default     = []
}

variable "account_alarms" {
  description = "`true`: raises alarms on bounce and complaint rates. SES counts them for the whole account and region, so only one environment of an account should."
  type        = bool
  default     = false
}
