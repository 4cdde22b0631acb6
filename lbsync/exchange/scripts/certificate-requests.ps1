# certificate-requests (local tier): the requests that wait for a CA's answer on this server, and whether one certificate is here.
# Changes nothing. Windows PowerShell 4.0. [u] marks what has not been verified on a real server.
param($p)

$machine = [Security.Cryptography.X509Certificates.StoreLocation]::LocalMachine
$readOnly = [Security.Cryptography.X509Certificates.OpenFlags]::ReadOnly

$store = New-Object Security.Cryptography.X509Certificates.X509Store ('My', $machine)
$store.Open($readOnly)
$present = @($store.Certificates | Where-Object { $_.Thumbprint -eq $p['thumbprint'] -and $_.HasPrivateKey })
$store.Close()

# A pending request is a certificate of the machine's REQUEST store: self-signed, with the key that the answer is for [u].
$requests = @()
$store = New-Object Security.Cryptography.X509Certificates.X509Store ('REQUEST', $machine)
$store.Open($readOnly)
foreach ($certificate in @($store.Certificates)) {
    $requests += @{
        thumbprint    = [string]$certificate.Thumbprint
        raw           = [Convert]::ToBase64String($certificate.RawData)
        friendly_name = [string]$certificate.FriendlyName
    }
}
$store.Close()

@{ present = $present.Count -gt 0; requests = $requests }
