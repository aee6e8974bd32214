resource "aws_iam_role" "node" {
  name        = "${var.name}-node"
  description = "Nodes of ${var.name}: pull images, join the cluster"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

# The network add-on has its own role, not the nodes', so a pod that escapes to its node does not
# get it. SSM replaces SSH.
resource "aws_iam_role_policy_attachment" "node" {
  for_each = toset(["AmazonEC2ContainerRegistryPullOnly", "AmazonEKSWorkerNodePolicy", "AmazonSSMManagedInstanceCore"])

  role       = aws_iam_role.node.name
  policy_arn = "${local.managed}/${each.key}"
}

data "aws_default_tags" "current" {}

resource "aws_launch_template" "this" {
  for_each = var.node_groups

  name                   = "${var.name}-${each.key}"
  description            = "Nodes of ${var.name}, group ${each.key}"
  update_default_version = true

  # A pod cannot reach the node's credentials: its packets need a second hop.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = each.value.disk_gib
      encrypted             = true
      delete_on_termination = true
    }
  }

  # default_tags do not reach what EC2 starts from a template.
  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume", "network-interface"])

    content {
      resource_type = tag_specifications.value
      tags          = merge(data.aws_default_tags.current.tags, { Name = "${var.name}-${each.key}" })
    }
  }
}

resource "aws_eks_node_group" "this" {
  for_each = var.node_groups

  cluster_name    = aws_eks_cluster.this.name
  node_group_name = each.key
  node_role_arn   = aws_iam_role.node.arn
  subnet_ids      = values(var.subnet_ids)
  version         = var.kubernetes_version
  ami_type        = each.value.ami_type
  capacity_type   = each.value.capacity_type
  instance_types  = each.value.instance_types
  labels          = each.value.labels

  launch_template {
    id      = aws_launch_template.this[each.key].id
    version = aws_launch_template.this[each.key].latest_version
  }

  scaling_config {
    min_size     = each.value.min
    max_size     = each.value.max
    desired_size = each.value.min
  }

  update_config {
    max_unavailable = 1
  }

  node_repair_config {
    enabled = true
  }

  # The autoscaler sets the number of nodes.
  lifecycle {
    ignore_changes = [scaling_config[0].desired_size]
  }

  depends_on = [aws_eks_addon.before_nodes, aws_iam_role_policy_attachment.node]
}

locals {
  # By the first two tags the autoscaler finds its groups, and its role may change them; by the
  # labels it knows the properties of nodes that do not exist yet.
  autoscaler_tags = merge([for group, nodes in var.node_groups : merge(
    {
      "${group} enabled" = { group = group, key = "k8s.io/cluster-autoscaler/enabled", value = "true" }
      "${group} owned"   = { group = group, key = "k8s.io/cluster-autoscaler/${var.name}", value = "owned" }
    },
    { for label, value in nodes.labels : "${group} ${label}" => {
      group = group, key = "k8s.io/cluster-autoscaler/node-template/label/${label}", value = value
    } },
  )]...)
}

resource "aws_autoscaling_group_tag" "this" {
  for_each = local.autoscaler_tags

  autoscaling_group_name = aws_eks_node_group.this[each.value.group].resources[0].autoscaling_groups[0].name

  tag {
    key                 = each.value.key
    value               = each.value.value
    propagate_at_launch = false
  }
}
