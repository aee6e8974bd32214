# PostgreSQL on RDS: one instance per environment with three databases, each with its own owner.
# Terraform creates the instance; scripts/terraform-databases.sh creates its content.

locals {
  name = "${var.prefix}-reminders"
  port = 5432
  # PostgreSQL's parameter families are named by the major version.
  family = "postgres${split(".", var.engine_version)[0]}"
}

resource "aws_db_subnet_group" "this" {
  name        = local.name
  description = "${local.name}: subnets without a way to the internet"
  subnet_ids  = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${local.name}-database"
  description = "${local.name}: PostgreSQL, from the cluster"
  vpc_id      = var.vpc_id

  tags = { Name = "${local.name}-database" }
}

# A database opens no connections, so there is no egress rule.
resource "aws_vpc_security_group_ingress_rule" "clients" {
  for_each = var.client_security_group_ids

  security_group_id            = aws_security_group.this.id
  description                  = "PostgreSQL from ${each.key}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_db_parameter_group" "this" {
  name        = "${local.name}-${local.family}"
  description = "${local.name}: TLS only, slow statements logged"
  family      = local.family

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
  parameter {
    name         = "shared_preload_libraries"
    value        = "pg_stat_statements"
    apply_method = "pending-reboot"
  }
  # Statements take milliseconds; one that takes a second is logged, without parameters, which may
  # contain personal data.
  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }
  parameter {
    name  = "log_parameter_max_length"
    value = "0"
  }
  parameter {
    name  = "log_parameter_max_length_on_error"
    value = "0"
  }
  parameter {
    name  = "log_lock_waits"
    value = "1"
  }
  parameter {
    name  = "log_autovacuum_min_duration"
    value = "10000"
  }

  lifecycle {
    create_before_destroy = true
  }
}

# Created here, because RDS would create it without a retention.
resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(["postgresql", "upgrade"])

  name              = "/aws/rds/instance/${local.name}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_db_instance" "this" {
  identifier     = local.name
  engine         = "postgres"
  engine_version = var.engine_version
  instance_class = var.instance_class
  multi_az       = var.multi_az

  storage_type          = "gp3"
  allocated_storage     = var.storage_gib.initial
  max_allocated_storage = var.storage_gib.max
  storage_encrypted     = true
  kms_key_id            = var.kms_key_arn

  # RDS keeps the master's password in Secrets Manager and changes it every week. No service uses
  # it.
  username                      = "postgres"
  manage_master_user_password   = true
  master_user_secret_kms_key_id = var.kms_key_arn

  port                   = local.port
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  ca_cert_identifier     = "rds-ca-rsa2048-g1"
  parameter_group_name   = aws_db_parameter_group.this.name

  # Not at midnight, when the daily snapshot is taken.
  backup_retention_period  = var.backup_retention_days
  backup_window            = "03:00-04:00"
  maintenance_window       = "sun:04:30-sun:05:30"
  copy_tags_to_snapshot    = true
  delete_automated_backups = !var.deletion_protection

  auto_minor_version_upgrade = true

  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = !var.deletion_protection
  final_snapshot_identifier = var.deletion_protection ? "${local.name}-final-${var.final_snapshot_suffix}" : null

  enabled_cloudwatch_logs_exports       = keys(aws_cloudwatch_log_group.this)
  monitoring_interval                   = 60
  monitoring_role_arn                   = aws_iam_role.monitoring.arn
  performance_insights_enabled          = true
  performance_insights_kms_key_id       = var.kms_key_arn
  performance_insights_retention_period = 7

  depends_on = [aws_iam_role_policy_attachment.monitoring]
}

data "aws_partition" "current" {}

resource "aws_iam_role" "monitoring" {
  name        = "${local.name}-database-monitoring"
  description = "RDS writes the figures of ${local.name}'s operating system to CloudWatch"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}
