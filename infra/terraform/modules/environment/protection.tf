module "protection" {
  source = "../protection"

  enabled = var.deletion_protection
  about   = "The environment ${var.environment}"

  depends_on = [
    module.alerts, module.backup, module.database, module.email, module.iam, module.keys, module.messaging, module.secrets,
  ]
}
