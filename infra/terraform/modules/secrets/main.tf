# The Secrets Manager side of the Kubernetes Secrets: each has the name and the keys of the Secret
# that it feeds (`prod-sns-topics-secrets`: `event_topic`, `notification_topic`), so that an
# ExternalSecret can extract it completely.

resource "aws_secretsmanager_secret" "known" {
  for_each = var.values

  name                    = "${var.prefix}-${each.key}"
  description             = "Written by Terraform: ${join(", ", keys(each.value))}"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_window_days
}

resource "aws_secretsmanager_secret_version" "known" {
  for_each = var.values

  secret_id     = aws_secretsmanager_secret.known[each.key].id
  secret_string = jsonencode(each.value)
}

resource "aws_secretsmanager_secret" "entered" {
  for_each = var.entered_by_hand

  name                    = "${var.prefix}-${each.key}"
  description             = "Entered by hand: ${each.value}"
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_window_days
}

locals {
  issuer = regex("oidc-provider/(.+)$", var.oidc_provider_arn)[0]
  arns   = concat(values(aws_secretsmanager_secret.known)[*].arn, values(aws_secretsmanager_secret.entered)[*].arn, var.other_secret_arns)
}

data "aws_region" "current" {}

# The namespace's SecretStore acts as this service account, which reads this environment's secrets
# only.
resource "aws_iam_role" "reader" {
  name                 = "${var.prefix}-external-secrets"
  description          = "External Secrets in the namespace ${var.namespace}"
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
          "${local.issuer}:sub" = "system:serviceaccount:${var.namespace}:${var.prefix}-external-secrets"
          "${local.issuer}:aud" = "sts.amazonaws.com"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "reader" {
  name = "read"
  role = aws_iam_role.reader.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "ReadSecrets"
        Effect   = "Allow"
        Action   = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
        Resource = local.arns
      },
      {
        Sid       = "OpenSecrets"
        Effect    = "Allow"
        Action    = "kms:Decrypt"
        Resource  = var.kms_key_arn
        Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${data.aws_region.current.name}.amazonaws.com" } }
      },
    ]
  })
}
