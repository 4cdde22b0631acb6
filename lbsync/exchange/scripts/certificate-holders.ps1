# certificate-holders (local tier): what on this server serves TLS with which certificate, Exchange's own services aside.
# Changes nothing. Windows PowerShell 4.0. [u] marks what has not been verified on a real server.
param($p)

Import-Module WebAdministration
$holders = @()
# Everything HTTP.SYS answers TLS for: sites, and WinRM over HTTPS, by which this very script may have come [u].
foreach ($binding in @(Get-ChildItem -Path 'IIS:\SslBindings')) {
    if ($null -eq $binding -or [string]$binding.Thumbprint -eq '') { continue }
    $holders += @{
        what       = 'the TLS listener {0}:{1}' -f [string]$binding.IPAddress, [string]$binding.Port
        thumbprint = ([string]$binding.Thumbprint).ToUpperInvariant()
    }
}
# Bytes in the registry; absent where Remote Desktop has a certificate of its own making.
$desktop = 'HKLM:\SYSTEM\CurrentControlSet\Control\Terminal Server\WinStations\RDP-Tcp'
$found = Get-ItemProperty -Path $desktop -Name 'SSLCertificateSHA1Hash' -ErrorAction SilentlyContinue
if ($null -ne $found -and $null -ne $found.SSLCertificateSHA1Hash) {
    $hash = [BitConverter]::ToString([byte[]]$found.SSLCertificateSHA1Hash).Replace('-', '')
    $holders += @{ what = 'Remote Desktop'; thumbprint = $hash }
}
@{ holders = $holders }
