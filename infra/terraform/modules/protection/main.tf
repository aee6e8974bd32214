# AWS's own protection of a database stops `terraform destroy` when everything around the database
# is gone already. This depends on all of it, so it is what would go first, and while it is enabled
# it refuses.

resource "terraform_data" "this" {
  input = { enabled = var.enabled, about = var.about }

  provisioner "local-exec" {
    when    = destroy
    command = self.input.enabled ? "echo '${self.input.about} is protected: apply with deletion_protection = false first'; exit 1" : "true"
  }
}
