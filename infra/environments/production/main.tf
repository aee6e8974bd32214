# Production: two zones, backups of three years, protected against destruction. variables.tf defines
# this. It watches SES's rates for the whole account.

locals {
  tags = merge(var.tags, { Project = "reminders", Environment = "production", ManagedBy = "terraform" })
}

module "environment" {
  source = "../../terraform/modules/environment"

  environment         = "production"
  prefix              = "prod"
  cluster_name        = var.cluster_name
  source_email        = var.source_email
  email               = var.email
  database            = var.database
  backup              = var.backup
  alert_subscribers   = var.alert_subscribers
  deletion_protection = var.deletion_protection
  log_retention_days  = var.log_retention_days
}

module "disaster" {
  source    = "../../terraform/modules/disaster"
  count     = var.disaster_region == null ? 0 : 1
  providers = { aws = aws.disaster }

  prefix       = "prod"
  database_arn = module.environment.database.arn
}
