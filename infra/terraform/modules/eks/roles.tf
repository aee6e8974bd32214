# IAM roles of the cluster's own components (IRSA), each for one service account.

resource "aws_iam_openid_connect_provider" "this" {
  url            = aws_eks_cluster.this.identity[0].oidc[0].issuer
  client_id_list = ["sts.amazonaws.com"]
}

locals {
  issuer = replace(aws_eks_cluster.this.identity[0].oidc[0].issuer, "https://", "")

  components = merge(
    {
      vpc-cni            = "kube-system:aws-node"
      aws-ebs-csi-driver = "kube-system:ebs-csi-controller-sa"
      cluster-autoscaler = "kube-system:cluster-autoscaler"
    },
    length(var.queue_arns) == 0 ? {} : { keda = "keda:keda-operator" },
  )

  managed_policies = {
    vpc-cni            = "${local.managed}/AmazonEKS_CNI_Policy"
    aws-ebs-csi-driver = "${local.managed}/service-role/AmazonEBSCSIDriverPolicy"
  }

  own_policies = merge(
    {
      cluster-autoscaler = [
        {
          # Descriptions have no resource.
          Sid    = "SeeGroupsAndInstanceTypes"
          Effect = "Allow"
          Action = [
            "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances",
            "autoscaling:DescribeLaunchConfigurations", "autoscaling:DescribeScalingActivities", "autoscaling:DescribeTags",
            "ec2:DescribeImages", "ec2:DescribeInstanceTypes", "ec2:DescribeLaunchTemplateVersions",
            "ec2:GetInstanceTypesFromInstanceRequirements",
          ]
          Resource = "*"
        },
        {
          Sid      = "SeeNodeGroups"
          Effect   = "Allow"
          Action   = "eks:DescribeNodegroup"
          Resource = "arn:${local.partition}:eks:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:nodegroup/${var.name}/*"
        },
        {
          Sid       = "ScaleItsGroups"
          Effect    = "Allow"
          Action    = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
          Resource  = "arn:${local.partition}:autoscaling:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}:autoScalingGroup:*"
          Condition = { StringEquals = { "aws:ResourceTag/k8s.io/cluster-autoscaler/${var.name}" = "owned" } }
        },
      ]
    },
    length(var.queue_arns) == 0 ? {} : {
      keda = [
        {
          Sid      = "SeeDepthOfQueues"
          Effect   = "Allow"
          Action   = "sqs:GetQueueAttributes"
          Resource = var.queue_arns
        },
        {
          # The age of a queue's oldest message is a metric; metrics have no resource.
          Sid      = "SeeAgeOfMessages"
          Effect   = "Allow"
          Action   = "cloudwatch:GetMetricData"
          Resource = "*"
        },
      ]
    },
  )
}

resource "aws_iam_role" "component" {
  for_each = local.components

  name        = "${var.name}-${each.key}"
  description = "${each.key} in ${var.name} (${each.value})"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ItsServiceAccount"
      Effect    = "Allow"
      Principal = { Federated = aws_iam_openid_connect_provider.this.arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local.issuer}:sub" = "system:serviceaccount:${each.value}"
          "${local.issuer}:aud" = "sts.amazonaws.com"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "component" {
  for_each = local.managed_policies

  role       = aws_iam_role.component[each.key].name
  policy_arn = each.value
}

resource "aws_iam_role_policy" "component" {
  for_each = local.own_policies

  name   = "calls"
  role   = aws_iam_role.component[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = each.value })
}
