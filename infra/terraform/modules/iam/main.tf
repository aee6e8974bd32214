# A role for each service, for the service account of its pods only (IRSA). It allows the calls that
# the code makes (shared/bus/src/aws, notification-service/src/channels/email), each statement for
# one purpose.

locals {
  issuer = regex("oidc-provider/(.+)$", var.oidc_provider_arn)[0]
}

resource "aws_iam_role" "this" {
  for_each = local.statements

  name                 = "${var.prefix}-${each.key}"
  description          = "${each.key} in the namespace ${var.namespace}"
  max_session_duration = 3600
  permissions_boundary = var.permissions_boundary_arn

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ItsServiceAccount"
      Effect    = "Allow"
      Principal = { Federated = var.oidc_provider_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local.issuer}:sub" = "system:serviceaccount:${var.namespace}:${var.prefix}-${each.key}"
          "${local.issuer}:aud" = "sts.amazonaws.com"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = local.statements

  name   = "calls"
  role   = aws_iam_role.this[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = each.value })
}
