variable "name" {
  description = "Prefix of the roles' names."
  type        = string
}

variable "repository" {
  description = "The GitHub repository whose workflows take the roles, `owner/name`."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", var.repository))
    error_message = "repository: owner/name; no wildcard."
  }
}

variable "image_branches" {
  description = "Branches whose workflows may push images."
  type        = set(string)
  default     = ["development", "main", "production"]
}

variable "environments" {
  description = "GitHub environments that deploy: name -> prefix of the environment. The namespace has the environment's name."
  type        = map(string)
  default     = { development = "dev", staging = "stg", production = "prod" }
}

variable "repository_arns" {
  description = "ECR repositories that images are pushed to and promoted in."
  type        = list(string)
}

variable "cluster_name" {
  description = "The cluster."
  type        = string
}

variable "cluster_arn" {
  description = "Its ARN."
  type        = string
}
