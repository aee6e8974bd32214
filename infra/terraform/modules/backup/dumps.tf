# The role of the CronJob that dumps the databases into the same bucket (k8s/components/backup), in
# a format that any PostgreSQL can restore. It may use its own folder only, and not delete: the life
# cycle does.

locals {
  issuer = regex("oidc-provider/(.+)$", var.oidc_provider_arn)[0]
}

resource "aws_iam_role" "dumps" {
  name                 = "${var.prefix}-backup"
  description          = "Dumps of the databases, by the CronJob in the namespace ${var.namespace}"
  max_session_duration = 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ItsServiceAccount"
      Effect    = "Allow"
      Principal = { Federated = var.oidc_provider_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local.issuer}:sub" = "system:serviceaccount:${var.namespace}:${var.prefix}-backup"
          "${local.issuer}:aud" = "sts.amazonaws.com"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "dumps" {
  name = "write"
  role = aws_iam_role.dumps.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "ListDumps"
        Effect    = "Allow"
        Action    = "s3:ListBucket"
        Resource  = aws_s3_bucket.this.arn
        Condition = { StringLike = { "s3:prefix" = "dumps/*" } }
      },
      {
        Sid      = "WriteAndReadDumps"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"]
        Resource = "${aws_s3_bucket.this.arn}/dumps/*"
      },
      {
        Sid       = "KeyOfTheBucket"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = var.kms_key_arn
        Condition = { StringEquals = { "kms:ViaService" = "s3.${local.region}.amazonaws.com" } }
      },
    ]
  })
}
