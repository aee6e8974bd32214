variable "namespace" {
  description = "What the repositories are kept under (`reminders`: `reminders/event-service`)."
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
  description = "How many images are kept by the suffix of their tag (`2.0.0-prod`). What is deployed, and what may be rolled back to, is among the newest."
  type        = object({ prod = optional(number, 100), stg = optional(number, 30), dev = optional(number, 30) })
  default     = {}

  validation {
    condition     = alltrue([for number in values(var.kept) : number >= 5])
    error_message = "kept: at least five, so that there is something to roll back to."
  }
}

variable "others_kept_days" {
  description = "For how many days an image is kept that has tags of other environments only: clones, previews of a branch."
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
  description = "Whether repositories may be destroyed with images in them."
  type        = bool
  default     = false
}
