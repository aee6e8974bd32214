variable "enabled" {
  description = "Whether what depends on this refuses to be destroyed."
  type        = bool
}

variable "about" {
  description = "What is protected, for the message."
  type        = string
}
