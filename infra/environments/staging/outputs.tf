output "services" {
  description = "The services' variables that the infrastructure defines."
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
  description = "Secrets whose values somebody must enter."
  value       = module.environment.secrets_to_be_entered
}

output "database" {
  description = "The database: what scripts/terraform-databases.sh and a restore need."
  value       = module.environment.database
}

output "backup" {
  description = "The place of backups, and the state machine that takes one."
  value       = module.environment.backup
}

output "dns_records" {
  description = "DNS records of the sender's domain."
  value       = module.environment.dns_records
}

output "alerts_topic_arn" {
  description = "The topic of alarms."
  value       = module.environment.alerts_topic_arn
}
