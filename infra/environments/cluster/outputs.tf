output "cluster" {
  description = "The cluster: `aws eks update-kubeconfig --name … --region …`."
  value = {
    name          = module.eks.name
    endpoint      = module.eks.endpoint
    region        = var.region
    node_role_arn = module.eks.node_role_arn
  }
}

output "registry" {
  description = "Registry of the images: the part before `/<image>:<tag>` in the manifests."
  value       = module.registry.registry
}

output "component_role_arns" {
  description = "Roles of the cluster's components, for their service accounts' annotations."
  value       = module.eks.component_role_arns
}

output "pipeline_role_arns" {
  description = "Roles of the pipeline, by purpose."
  value       = try(module.pipeline[0].role_arns, {})
}

output "network" {
  description = "Addresses for network policies and foreign firewalls."
  value = {
    vpc_id         = module.network.vpc_id
    vpc_cidr       = module.network.vpc_cidr
    database_cidrs = module.network.database_cidrs
    nat_addresses  = module.network.nat_addresses
  }
}
