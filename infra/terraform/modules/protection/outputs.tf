output "enabled" {
  description = "Whether it refuses."
  value       = terraform_data.this.input.enabled
}
