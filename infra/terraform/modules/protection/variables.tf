variable "enabled" {
  description = "`true`: resources that depend on this refuse to be destroyed."
  type        = bool
}

variable "about" {
  description = "Name of the protected resource, for the message."
  type        = string
}
