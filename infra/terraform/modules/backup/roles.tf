locals {
  trusts = {
    state_machine = "states.amazonaws.com"
    scheduler     = "scheduler.amazonaws.com"
    export        = "export.rds.amazonaws.com"
  }

  # Each role is one service's, for this account only.
  trust = { for role, service in local.trusts : role => jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = service }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
    }]
  }) }
}

resource "aws_iam_role" "scheduler" {
  name               = "${local.name}-backup-schedule"
  description        = "EventBridge Scheduler starts the backup of ${var.database_identifier}"
  assume_role_policy = local.trust.scheduler
}

resource "aws_iam_role_policy" "scheduler" {
  name = "start"
  role = aws_iam_role.scheduler.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "StartTheBackup"
        Effect   = "Allow"
        Action   = "states:StartExecution"
        Resource = aws_sfn_state_machine.this.arn
      },
      {
        Sid      = "ReadTheSchedule"
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = var.kms_key_arn
      },
    ]
  })
}

resource "aws_iam_role" "state_machine" {
  name               = "${local.name}-backup"
  description        = "The backup of ${var.database_identifier} calls RDS"
  assume_role_policy = local.trust.state_machine
}

resource "aws_iam_role_policy" "state_machine" {
  name = "calls"
  role = aws_iam_role.state_machine.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "TakeSnapshots"
        Effect   = "Allow"
        Action   = ["rds:AddTagsToResource", "rds:CreateDBSnapshot"]
        Resource = [var.database_arn, local.snapshots]
      },
      {
        Sid      = "EndItsOldSnapshots"
        Effect   = "Allow"
        Action   = "rds:DeleteDBSnapshot"
        Resource = local.snapshots
      },
      {
        # A list is asked for by the instance, one snapshot by its name.
        Sid      = "LookAtSnapshots"
        Effect   = "Allow"
        Action   = "rds:DescribeDBSnapshots"
        Resource = [var.database_arn, "arn:${local.partition}:rds:${local.region}:${local.account_id}:snapshot:*"]
      },
      {
        # RDS knows no resource for these two; what an export may write is the export role's.
        Sid      = "Export"
        Effect   = "Allow"
        Action   = ["rds:DescribeExportTasks", "rds:StartExportTask"]
        Resource = "*"
      },
      {
        Sid       = "HandOverTheExportRole"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = aws_iam_role.export.arn
        Condition = { StringEquals = { "iam:PassedToService" = "export.rds.amazonaws.com" } }
      },
      {
        # RDS encrypts snapshot and export with the key on behalf of whoever asks for them.
        Sid    = "HandOverTheKey"
        Effect = "Allow"
        Action = [
          "kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey",
          "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:RetireGrant",
        ]
        Resource = var.kms_key_arn
      },
      {
        # Deliveries of logs have no resource.
        Sid    = "WriteItsLog"
        Effect = "Allow"
        Action = [
          "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies",
          "logs:GetLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
        ]
        Resource = "*"
      },
    ]
  })
}

resource "aws_iam_role" "export" {
  name               = "${local.name}-backup-export"
  description        = "RDS writes exports of ${var.database_identifier} to their bucket"
  assume_role_policy = local.trust.export
}

# The actions that RDS checks before it begins ("Providing access to an Amazon S3 bucket using an
# IAM role" in its user guide), within the exports' folder.
resource "aws_iam_role_policy" "export" {
  name = "write"
  role = aws_iam_role.export.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "FindTheBucket"
        Effect   = "Allow"
        Action   = ["s3:GetBucketLocation", "s3:ListBucket"]
        Resource = aws_s3_bucket.this.arn
      },
      {
        Sid      = "WriteExports"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject*", "s3:GetObject*", "s3:PutObject*"]
        Resource = "${aws_s3_bucket.this.arn}/${var.database_identifier}/*"
      },
    ]
  })
}
