variable "name" {
  description = "Name of the VPC, and prefix of what is in it."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC: a /16 to /18 that overlaps no network it connects to."
  type        = string
  default     = "10.40.0.0/16"

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 18, false)
    error_message = "cidr: a /16, /17 or /18."
  }
}

variable "availability_zones" {
  description = "Three availability zones of the region."
  type        = list(string)

  validation {
    condition     = length(var.availability_zones) == 3 && length(toset(var.availability_zones)) == 3
    error_message = "availability_zones: three different ones; with two, the loss of one leaves no majority and half of the capacity."
  }
}

variable "nat_gateways" {
  description = "`per-zone`: the loss of a zone affects that zone only. `one`: cheaper, but the loss of its zone affects all."
  type        = string
  default     = "per-zone"

  validation {
    condition     = contains(["per-zone", "one"], var.nat_gateways)
    error_message = "nat_gateways: per-zone or one."
  }
}

variable "interface_endpoints" {
  description = <<-EOT
    Services reached inside the VPC instead of through NAT (`sns`, `sqs`, `ecr.api`, `ecr.dkr`, `secretsmanager`, `sts`, …). An
    endpoint costs by the hour and zone, and less per GiB than NAT: it saves money from
    (hours x 3 zones x price of an hour) / (NAT's price of a GiB - endpoint's price of a GiB) GiB a month on. S3, from which
    ECR's layers come, has a gateway endpoint always: that one is free.
  EOT
  type        = set(string)
  default     = []
}

variable "cluster_name" {
  description = "Name of the cluster that finds its subnets here by their tags."
  type        = string
}

variable "flow_log_retention_days" {
  description = "Retention of flow logs."
  type        = number
  default     = 365
}

variable "kms_key_arn" {
  description = "The key of the flow logs; its policy admits CloudWatch Logs."
  type        = string
}
