variable "name" {
  description = "Name of the cluster."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,37}$", var.name))
    error_message = "name: up to 38 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "kubernetes_version" {
  description = "Kubernetes' version, one that EKS supports (`aws eks describe-cluster-versions`). One minor version up at a time."
  type        = string

  validation {
    condition     = can(regex("^1\\.[0-9]{2}$", var.kubernetes_version))
    error_message = "kubernetes_version: major and minor, such as 1.35."
  }
}

variable "subnet_ids" {
  description = "The private subnets, by availability zone."
  type        = map(string)
}

variable "kms_key_arn" {
  description = "The key around the keys of Kubernetes' secrets, and of the control plane's logs."
  type        = string
}

variable "api_cidrs" {
  description = "Addresses from which the API is reached over the internet, by TLS and IAM. None: from the VPC alone."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.api_cidrs : can(cidrhost(cidr, 0)) && !endswith(cidr, "/0")])
    error_message = "api_cidrs: address ranges, and not the whole internet."
  }
}

variable "admins" {
  description = "IAM principals (roles) that administer the cluster: name -> ARN."
  type        = map(string)

  validation {
    condition     = length(var.admins) > 0
    error_message = "admins: at least one, or nobody can enter the cluster: whoever makes it gets no right of their own."
  }
}

variable "node_groups" {
  description = "Managed node groups: name -> type and number of nodes. The autoscaler changes the number between min and max."
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

  validation {
    condition     = alltrue([for group in values(var.node_groups) : group.min >= 1 && group.max >= group.min])
    error_message = "node_groups: min is at least 1, max at least min."
  }
  validation {
    condition     = alltrue([for group in values(var.node_groups) : contains(["ON_DEMAND", "SPOT"], group.capacity_type)])
    error_message = "node_groups: capacity_type is ON_DEMAND or SPOT."
  }
}

variable "addon_versions" {
  description = "Versions of add-ons by name; one that is not named gets EKS's default for the Kubernetes version."
  type        = map(string)
  default     = {}
}

variable "queue_arns" {
  description = "Queues whose attributes KEDA's operator may read (`keda-operator` in the namespace `keda`). None: no role."
  type        = list(string)
  default     = []
}

variable "log_retention_days" {
  description = "Retention of the control plane's logs."
  type        = number
  default     = 365
}
