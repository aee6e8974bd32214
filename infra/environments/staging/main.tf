# A mirror of production for load tests: production's sizes, shorter retention. variables.tf defines
# this.

locals {
  tags = merge(var.tags, { Project = "reminders", Environment = "staging", ManagedBy = "terraform" })
}

module "environment" {
  source = "../../terraform/modules/environment"

  environment         = "staging"
  prefix              = "stg"
  cluster_name        = var.cluster_name
  source_email        = var.source_email
  email               = var.email
  database            = var.database
  backup              = var.backup
  alert_subscribers   = var.alert_subscribers
  deletion_protection = var.deletion_protection
  log_retention_days  = var.log_retention_days
}
