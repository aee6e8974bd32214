# Resources that the three environments share: network, cluster, image registry, and the pipeline's
# roles. Applied first.

data "aws_partition" "current" {}

locals {
  # The environments own the queues (module messaging); the one KEDA of the cluster may read their
  # attributes.
  queue_arns = flatten([for prefix in values(var.environments) : [for queue in ["event", "notification", "ses-feedback"] :
    "arn:${data.aws_partition.current.partition}:sqs:${var.region}:${var.account_id}:${prefix}-${queue}-queue"
  ]])
}

module "keys" {
  source = "../../terraform/modules/keys"

  prefix               = "cluster"
  deletion_window_days = var.deletion_protection ? 30 : 7
}

module "network" {
  source = "../../terraform/modules/network"

  name                = var.cluster_name
  cluster_name        = var.cluster_name
  cidr                = var.vpc_cidr
  availability_zones  = var.availability_zones
  nat_gateways        = var.nat_gateways
  interface_endpoints = var.interface_endpoints
  kms_key_arn         = module.keys.data_key_arn
}

module "eks" {
  source = "../../terraform/modules/eks"

  name               = var.cluster_name
  kubernetes_version = var.kubernetes_version
  subnet_ids         = module.network.private_subnet_ids
  kms_key_arn        = module.keys.data_key_arn
  api_cidrs          = var.api_cidrs
  admins             = var.admins
  node_groups        = var.node_groups
  queue_arns         = local.queue_arns
}

module "registry" {
  source = "../../terraform/modules/registry"

  namespace    = "reminders"
  force_delete = !var.deletion_protection
}

module "pipeline" {
  source = "../../terraform/modules/pipeline"
  count  = var.github_repository == null ? 0 : 1

  name            = "${var.cluster_name}-pipeline"
  repository      = var.github_repository
  environments    = var.environments
  repository_arns = values(module.registry.repository_arns)
  cluster_name    = module.eks.name
  cluster_arn     = module.eks.arn
}

module "alerts" {
  source = "../../terraform/modules/alerts"

  prefix      = var.cluster_name
  kms_key_arn = module.keys.messages_key_arn
  subscribers = var.alert_subscribers
}

module "protection" {
  source = "../../terraform/modules/protection"

  enabled = var.deletion_protection
  about   = "The cluster ${var.cluster_name}"

  depends_on = [module.alerts, module.eks, module.keys, module.network, module.pipeline, module.registry]
}
