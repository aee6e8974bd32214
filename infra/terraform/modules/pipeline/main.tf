# Roles of GitHub Actions, without a key that could leak: a workflow presents a token of GitHub and
# assumes a role that trusts this repository, and there a branch (to push images) or an environment
# (to deploy). Approvals are part of GitHub's environments.

data "aws_partition" "current" {}

locals {
  host = "token.actions.githubusercontent.com"

  # Role -> subjects that may assume it.
  subjects = merge(
    { images = concat(
      [for branch in var.image_branches : "repo:${var.repository}:ref:refs/heads/${branch}"],
      [for environment in keys(var.environments) : "repo:${var.repository}:environment:${environment}"],
    ) },
    { for environment in keys(var.environments) : "deploy-${environment}" => ["repo:${var.repository}:environment:${environment}"] },
  )
}

resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://${local.host}"
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_iam_role" "this" {
  for_each = local.subjects

  name                 = "${var.name}-${each.key}"
  description          = "GitHub Actions of ${var.repository}: ${each.key}"
  max_session_duration = 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "WorkflowsOfTheRepository"
      Effect    = "Allow"
      Principal = { Federated = aws_iam_openid_connect_provider.github.arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local.host}:sub" = each.value
          "${local.host}:aud" = "sts.amazonaws.com"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "images" {
  name = "push"
  role = aws_iam_role.this["images"].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # ECR knows no resource for the token.
        Sid      = "LogIn"
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      },
      {
        Sid    = "PushAndPromote"
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImageScanFindings",
          "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
        ]
        Resource = var.repository_arns
      },
    ]
  })
}

resource "aws_iam_role_policy" "deploy" {
  for_each = var.environments

  name = "reach"
  role = aws_iam_role.this["deploy-${each.key}"].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "FindTheCluster"
      Effect   = "Allow"
      Action   = "eks:DescribeCluster"
      Resource = var.cluster_arn
    }]
  })
}

# In the cluster a deploying role administers its own namespace. A Role in the namespace grants its
# group the custom resources of the overlays.
resource "aws_eks_access_entry" "deploy" {
  for_each = var.environments

  cluster_name      = var.cluster_name
  principal_arn     = aws_iam_role.this["deploy-${each.key}"].arn
  kubernetes_groups = ["${each.value}-deployers"]
}

resource "aws_eks_access_policy_association" "deploy" {
  for_each = var.environments

  cluster_name  = var.cluster_name
  principal_arn = aws_eks_access_entry.deploy[each.key].principal_arn
  policy_arn    = "arn:${data.aws_partition.current.partition}:eks::aws:cluster-access-policy/AmazonEKSAdminPolicy"

  access_scope {
    type       = "namespace"
    namespaces = [each.key]
  }
}
