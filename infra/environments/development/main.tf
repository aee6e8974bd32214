# A small environment: one zone, backups of a month, destroyable. variables.tf defines this.

locals {
  tags = merge(var.tags, { Project = "reminders", Environment = "development", ManagedBy = "terraform" })
}

module "environment" {
  source = "../../terraform/modules/environment"

  environment         = "development"
  prefix              = "dev"
  cluster_name        = var.cluster_name
  source_email        = var.source_email
  email               = var.email
  database            = var.database
  backup              = var.backup
  alert_subscribers   = var.alert_subscribers
  deletion_protection = var.deletion_protection
  log_retention_days  = var.log_retention_days
}
