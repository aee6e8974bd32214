variable "account_id" {
  description = "The AWS account."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id: twelve digits."
  }
}

variable "region" {
  description = "The AWS region."
  type        = string
}

variable "cluster_name" {
  description = "Name of the cluster and prefix of what belongs to it."
  type        = string
  default     = "reminders"
}

variable "kubernetes_version" {
  description = "Kubernetes' version, one that EKS supports."
  type        = string
}

variable "vpc_cidr" {
  description = "Addresses of the VPC."
  type        = string
  default     = "10.40.0.0/16"
}

variable "availability_zones" {
  description = "Three availability zones of the region (`aws ec2 describe-availability-zones`). Named explicitly, so that a new zone of AWS moves no subnets."
  type        = list(string)
}

variable "nat_gateways" {
  description = "`per-zone` or `one` (module network)."
  type        = string
  default     = "per-zone"
}

variable "interface_endpoints" {
  description = "AWS services reached inside the VPC (infra/README.md says when that saves money)."
  type        = set(string)
  default     = []
}

variable "api_cidrs" {
  description = "Addresses from which the cluster's API is reached over the internet. None: from the VPC alone."
  type        = list(string)
  default     = []
}

variable "admins" {
  description = "IAM roles that administer the cluster: name -> ARN."
  type        = map(string)
}

variable "node_groups" {
  description = "Managed node groups (module eks)."
  type = map(object({
    instance_types = optional(list(string), ["m7i.large"])
    ami_type       = optional(string, "AL2023_x86_64_STANDARD")
    capacity_type  = optional(string, "ON_DEMAND")
    min            = optional(number, 3)
    max            = optional(number, 12)
    disk_gib       = optional(number, 50)
    labels         = optional(map(string), {})
  }))
  default = { services = {} }
}

variable "environments" {
  description = "The environments that share the cluster: name (and namespace) -> prefix."
  type        = map(string)
  default     = { development = "dev", staging = "stg", production = "prod" }
}

variable "github_repository" {
  description = "The GitHub repository whose workflows push images and deploy, `owner/name`. Null: none."
  type        = string
  default     = null
}

variable "alert_subscribers" {
  description = "E-mail addresses that the cluster's alarms are sent to."
  type        = set(string)
  default     = []
}

variable "deletion_protection" {
  description = "`true`: the cluster refuses to be destroyed. `false`, applied once, makes it destroyable, and repositories with images too."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Further tags on everything."
  type        = map(string)
  default     = {}
}
