mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name               = "reminders"
  kubernetes_version = "1.35"
  subnet_ids         = { a = "subnet-00000000000000001", b = "subnet-00000000000000002", c = "subnet-00000000000000003" }
  kms_key_arn        = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000009"
  admins             = { platform = "arn:aws:iam::123456789012:role/platform" }
  queue_arns         = ["arn:aws:sqs:eu-central-1:123456789012:prod-event-queue"]
}

run "control_plane_and_roles" {
  command = plan
  module {
    source = "./modules/eks"
  }

  assert {
    condition     = aws_eks_cluster.this.encryption_config[0].resources == toset(["secrets"]) && aws_eks_cluster.this.encryption_config[0].provider[0].key_arn == var.kms_key_arn
    error_message = "Kubernetes' secrets are encrypted by the customer-managed key"
  }
  assert {
    condition     = length(aws_eks_cluster.this.enabled_cluster_log_types) == 5 && aws_cloudwatch_log_group.this.name == "/aws/eks/reminders/cluster"
    error_message = "all logs are written, to a group of known retention"
  }
  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_private_access && !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "the API is in the VPC unless addresses are named"
  }
  assert {
    condition     = aws_eks_cluster.this.access_config[0].authentication_mode == "API" && !aws_eks_cluster.this.access_config[0].bootstrap_cluster_creator_admin_permissions
    error_message = "whoever is let in is named"
  }
  assert {
    condition     = jsondecode(aws_eks_addon.before_nodes["vpc-cni"].configuration_values) == { enableNetworkPolicy = "true" }
    error_message = "network policies are enforced"
  }
  assert {
    condition     = keys(aws_eks_addon.on_nodes) == ["aws-ebs-csi-driver", "coredns", "metrics-server"]
    error_message = "names, volumes and the metrics of autoscaling are there"
  }
  assert {
    condition     = keys(output.component_role_arns) == ["aws-ebs-csi-driver", "cluster-autoscaler", "keda", "vpc-cni"]
    error_message = "each component has a role"
  }
  assert {
    condition     = jsondecode(aws_iam_role.component["keda"].assume_role_policy).Statement[0].Condition.StringEquals["oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF:sub"] == "system:serviceaccount:keda:keda-operator"
    error_message = "a role is its service account's"
  }
  assert {
    condition = [for it in jsondecode(aws_iam_role_policy.component["keda"].policy).Statement : [it.Action, it.Resource]] == [
      ["sqs:GetQueueAttributes", ["arn:aws:sqs:eu-central-1:123456789012:prod-event-queue"]], ["cloudwatch:GetMetricData", "*"],
    ]
    error_message = "KEDA counts messages, sees how old they are, and reads none"
  }
  assert {
    condition     = [for it in jsondecode(aws_iam_role_policy.component["cluster-autoscaler"].policy).Statement : it.Condition if it.Sid == "ScaleItsGroups"] == [{ StringEquals = { "aws:ResourceTag/k8s.io/cluster-autoscaler/reminders" = "owned" } }]
    error_message = "the autoscaler changes this cluster's groups alone"
  }
}

run "nodes" {
  command = plan
  module {
    source = "./modules/eks"
  }
  variables {
    node_groups = { services = { min = 3, max = 9, labels = { tier = "services" } } }
  }

  assert {
    condition     = aws_eks_node_group.this["services"].scaling_config[0].min_size == 3 && aws_eks_node_group.this["services"].scaling_config[0].max_size == 9 && length(aws_eks_node_group.this["services"].subnet_ids) == 3
    error_message = "nodes are in three zones, within their limits"
  }
  assert {
    condition     = aws_launch_template.this["services"].metadata_options[0].http_tokens == "required" && aws_launch_template.this["services"].metadata_options[0].http_put_response_hop_limit == 1
    error_message = "a pod does not get the node's credentials"
  }
  assert {
    condition     = aws_launch_template.this["services"].block_device_mappings[0].ebs[0].encrypted == "true"
    error_message = "disks are encrypted"
  }
  assert {
    condition = toset([for it in aws_autoscaling_group_tag.this : "${it.tag[0].key}=${it.tag[0].value}"]) == toset([
      "k8s.io/cluster-autoscaler/enabled=true", "k8s.io/cluster-autoscaler/reminders=owned", "k8s.io/cluster-autoscaler/node-template/label/tier=services",
    ])
    error_message = "the autoscaler finds its groups by their tags"
  }
}

run "what_is_refused" {
  command = plan
  module {
    source = "./modules/eks"
  }
  variables {
    api_cidrs = ["0.0.0.0/0"]
    admins    = {}
  }
  expect_failures = [var.api_cidrs, var.admins]
}
