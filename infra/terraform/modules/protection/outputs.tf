output "enabled" {
  description = "`true`: it refuses."
  value       = terraform_data.this.input.enabled
}
