output "services" {
  description = "The services' variables that infrastructure decides."
  value       = module.environment.services
}

output "service_account_roles" {
  description = "Service account -> role, for the annotation `eks.amazonaws.com/role-arn`."
  value       = module.environment.service_account_roles
}

output "secrets" {
  description = "Secrets in Secrets Manager; each feeds the Kubernetes Secret of its name."
  value       = module.environment.secrets
}

output "secrets_to_be_entered" {
  description = "Those of them that somebody must enter."
  value       = module.environment.secrets_to_be_entered
}

output "database" {
  description = "The database: what scripts/terraform-databases.sh and a restore need."
  value       = module.environment.database
}

output "backup" {
  description = "Where backups are, and what takes one."
  value       = module.environment.backup
}

output "dns_records" {
  description = "What the sender's domain must say in DNS."
  value       = module.environment.dns_records
}

output "alerts_topic_arn" {
  description = "Where alarms are told."
  value       = module.environment.alerts_topic_arn
}
