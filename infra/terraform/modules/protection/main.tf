# AWS's protection of a database stops `terraform destroy` only after everything around the database
# is deleted. This resource depends on all of it, so it would be destroyed first, and it refuses
# while it is enabled.

resource "terraform_data" "this" {
  input = { enabled = var.enabled, about = var.about }

  provisioner "local-exec" {
    when    = destroy
    command = self.input.enabled ? "echo '${self.input.about} is protected: apply with deletion_protection = false first'; exit 1" : "true"
  }
}
