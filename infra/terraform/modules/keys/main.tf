# Two customer-managed keys per environment, one for messages in transit and one for data at rest,
# because other AWS services (SNS, SES, CloudWatch) need access to the first and must not have it to
# the second.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  # Delegates the key to the account's IAM policies; without this nobody could change the key's
  # policy again.
  account = {
    Sid       = "AccountDecidesByIam"
    Effect    = "Allow"
    Principal = { AWS = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root" }
    Action    = "kms:*"
    Resource  = "*"
  }
}

resource "aws_kms_key" "messages" {
  description             = "${var.prefix}: topics, queues and alerts"
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_window_days

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      local.account,
      {
        # SNS sends to encrypted queues; SES and CloudWatch publish to encrypted topics. The
        # policies of topics and queues define which of them may publish where.
        Sid       = "PublishersEncrypt"
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "ses.amazonaws.com", "sns.amazonaws.com"] }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
      },
    ]
  })
}

resource "aws_kms_alias" "messages" {
  name          = "alias/${var.prefix}-messages"
  target_key_id = aws_kms_key.messages.key_id
}

resource "aws_kms_key" "data" {
  description             = "${var.prefix}: database, its secrets, its logs and its backups"
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_window_days

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      local.account,
      {
        Sid       = "LogGroupsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "logs.${data.aws_region.current.name}.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
        Resource  = "*"
        Condition = {
          ArnLike = {
            "kms:EncryptionContext:aws:logs:arn" = "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:log-group:*"
          }
        }
      },
    ]
  })
}

resource "aws_kms_alias" "data" {
  name          = "alias/${var.prefix}-data"
  target_key_id = aws_kms_key.data.key_id
}
