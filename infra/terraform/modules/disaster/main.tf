# Protection against the loss of a region: RDS copies its snapshots and transaction logs to another
# region as they are made, encrypted with a key of that region. The provider of this module is the
# other region's.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

resource "aws_kms_key" "this" {
  description             = "${var.prefix}: copies of the database's backups"
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_window_days

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "AccountDecidesByIam"
      Effect    = "Allow"
      Principal = { AWS = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root" }
      Action    = "kms:*"
      Resource  = "*"
    }]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.prefix}-disaster"
  target_key_id = aws_kms_key.this.key_id
}

resource "aws_db_instance_automated_backups_replication" "this" {
  source_db_instance_arn = var.database_arn
  kms_key_id             = aws_kms_key.this.arn
  retention_period       = var.retention_days
}
