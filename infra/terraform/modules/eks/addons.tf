# Add-ons that a cluster needs before anything else. The network add-on enforces NetworkPolicies:
# without this flag they would be accepted and have no effect.

locals {
  addons = {
    vpc-cni            = { before_nodes = true, role = "vpc-cni", configuration = jsonencode({ enableNetworkPolicy = "true" }) }
    kube-proxy         = { before_nodes = true, role = null, configuration = null }
    coredns            = { before_nodes = false, role = null, configuration = null }
    metrics-server     = { before_nodes = false, role = null, configuration = null }
    aws-ebs-csi-driver = { before_nodes = false, role = "aws-ebs-csi-driver", configuration = null }
  }
}

resource "aws_eks_addon" "before_nodes" {
  for_each = { for name, addon in local.addons : name => addon if addon.before_nodes }

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  addon_version               = lookup(var.addon_versions, each.key, null)
  configuration_values        = each.value.configuration
  service_account_role_arn    = each.value.role == null ? null : aws_iam_role.component[each.value.role].arn
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"
}

resource "aws_eks_addon" "on_nodes" {
  for_each = { for name, addon in local.addons : name => addon if !addon.before_nodes }

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  addon_version               = lookup(var.addon_versions, each.key, null)
  configuration_values        = each.value.configuration
  service_account_role_arn    = each.value.role == null ? null : aws_iam_role.component[each.value.role].arn
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  depends_on = [aws_eks_node_group.this]
}
