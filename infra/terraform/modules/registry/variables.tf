variable "namespace" {
  description = "Prefix of the repositories (`reminders`: `reminders/event-service`)."
  type        = string
  default     = "reminders"

  validation {
    condition     = can(regex("^[a-z0-9]+([._/-][a-z0-9]+)*$", var.namespace))
    error_message = "namespace: lower-case letters, digits and single separators."
  }
}

variable "images" {
  description = "The images."
  type        = set(string)
  default     = ["event-service", "notification-scheduler", "notification-service", "reminder-service", "sandbox", "suite"]
}

variable "kept" {
  description = "Number of images kept, by the suffix of their tag (`2.0.0-prod`). Deployed versions and those to roll back to are among the newest."
  type        = object({ prod = optional(number, 100), stg = optional(number, 30), dev = optional(number, 30) })
  default     = {}

  validation {
    condition     = alltrue([for number in values(var.kept) : number >= 5])
    error_message = "kept: at least five, so that there is something to roll back to."
  }
}

variable "others_kept_days" {
  description = "Days for which images are kept that have tags of other environments only: clones, previews of a branch."
  type        = number
  default     = 60

  validation {
    condition     = var.others_kept_days >= 7
    error_message = "others_kept_days: at least a week."
  }
}

variable "kms_key_arn" {
  description = "The key of the images, or null for AES-256 by ECR itself. It cannot be changed later."
  type        = string
  default     = null
}

variable "force_delete" {
  description = "`true`: repositories may be destroyed with their images."
  type        = bool
  default     = false
}
