# farm-facts (exchange tier): what lives in AD, read once per farm. Changes nothing.
# Windows PowerShell 4.0. [u] marks what has not been verified on a real server.
param($p)

# >>> inner session: the same lines in every script of this tier (a test compares them)
# Opens a session to the server itself: Connect-ExchangeServer -Auto may pick another, a snap-in would go round RBAC.
function Open-Exchange($Exchange) {
    $connection = @{
        ConfigurationName = 'Microsoft.Exchange'
        ConnectionUri     = 'http://{0}/PowerShell/' -f $Exchange['server']
        Authentication    = 'Kerberos'
    }
    if ($Exchange['user']) {
        # Character by character: module logging (event 4103) keeps what a cmdlet is given, not what .NET is.
        $secret = New-Object Security.SecureString
        foreach ($character in ([string]$Exchange['password']).ToCharArray()) { $secret.AppendChar($character) }
        $secret.MakeReadOnly()
        $connection['Credential'] = New-Object Management.Automation.PSCredential ([string]$Exchange['user'], $secret)
    }
    New-PSSession @connection
}

# Imports just these cmdlets; answers the names that the account's RBAC roles do not offer [u].
function Import-Exchange($Session, [string[]]$Cmdlets) {
    $module = Import-PSSession -Session $Session -CommandName $Cmdlets -DisableNameChecking -AllowClobber -ErrorAction SilentlyContinue
    $offered = @()
    if ($null -ne $module) { $offered = @($module.ExportedCommands.Keys) }
    foreach ($cmdlet in $Cmdlets) { if ($offered -notcontains $cmdlet) { $cmdlet } }
}
# <<< inner session

# Without the types of the management shell a certificate arrives as RawData only, without services and status.
# Its script prints a banner to the host and may fail at cosmetics without a console: neither matters here [u].
function Import-ExchangeTypes {
    $ErrorActionPreference = 'SilentlyContinue'
    $shell = [IO.Path]::Combine([string]$env:ExchangeInstallPath, 'bin', 'RemoteExchange.ps1')
    if ([IO.File]::Exists($shell)) { . $shell *> $null }
}

function Get-Text($Value) {
    if ($null -eq $Value -or [string]$Value -eq '') { $null } else { [string]$Value }
}

$cmdlets = @(
    'Get-OutlookAnywhere', 'Set-OutlookAnywhere', 'Get-WebServicesVirtualDirectory', 'Get-OrganizationConfig', 'Get-AuthServer',
    'Get-HybridConfiguration', 'Get-ExchangeCertificate', 'Export-ExchangeCertificate', 'Import-ExchangeCertificate',
    'Enable-ExchangeCertificate', 'New-ExchangeCertificate'
)
Import-ExchangeTypes
$session = Open-Exchange $p['exchange']
try {
    $missing = @(Import-Exchange $session $cmdlets)
    # Nice to know and no more: an account that may not ask, or a server without transport, leaves it open.
    $transport = @(Import-Exchange $session @('Get-TransportService')).Count -eq 0
    $outlookAnywhere = @()
    $mrsProxy = @()
    $certificates = @()
    foreach ($server in @($p['servers'])) {
        if ($missing -notcontains 'Get-OutlookAnywhere') {
            # -ADPropertiesOnly: fast, and what AD holds is the question; IIS is read by server-facts.
            foreach ($item in @(Get-OutlookAnywhere -Server $server -ADPropertiesOnly)) {
                if ($null -eq $item -or [string]$item.Name -notlike '*(Default Web Site)*') { continue }
                $methods = @()
                foreach ($method in @($item.IISAuthenticationMethods)) { if ($null -ne $method) { $methods += [string]$method } }
                $outlookAnywhere += @{
                    server                       = [string]$server
                    ssl_offloading               = [bool]$item.SSLOffloading
                    internal_hostname            = Get-Text $item.InternalHostname
                    external_hostname            = Get-Text $item.ExternalHostname
                    internal_clients_require_ssl = [bool]$item.InternalClientsRequireSsl
                    external_clients_require_ssl = [bool]$item.ExternalClientsRequireSsl
                    internal_authentication      = Get-Text $item.InternalClientAuthenticationMethod
                    external_authentication      = Get-Text $item.ExternalClientAuthenticationMethod
                    iis_authentication           = $methods
                }
            }
        }
        if ($missing -notcontains 'Get-WebServicesVirtualDirectory') {
            foreach ($item in @(Get-WebServicesVirtualDirectory -Server $server -ADPropertiesOnly)) {
                if ($null -eq $item -or [string]$item.Name -notlike '*(Default Web Site)*') { continue }
                $mrsProxy += @{ server = [string]$server; enabled = [bool]$item.MRSProxyEnabled }
            }
        }
        if ($missing -notcontains 'Get-ExchangeCertificate') {
            # Which one servers use for SMTP among themselves.
            $internal = ''
            if ($transport) {
                $internal = [string](Get-TransportService -Identity $server -ErrorAction SilentlyContinue).InternalTransportCertificateThumbprint
            }
            foreach ($item in @(Get-ExchangeCertificate -Server $server)) {
                if ($null -eq $item -or $null -eq $item.RawData) { continue }
                $raw = New-Object Security.Cryptography.X509Certificates.X509Certificate2 (, [byte[]]$item.RawData)
                $services = $null
                $status = $null
                $exportable = $null
                if ($null -ne $item.Services) {
                    $services = @()
                    foreach ($name in ([string]$item.Services).Split(',')) { if ($name.Trim() -ne 'None') { $services += $name.Trim() } }
                }
                if ($null -ne $item.Status) { $status = [string]$item.Status }
                if ($null -ne $item.PrivateKeyExportable) { $exportable = [bool]$item.PrivateKeyExportable }
                $between = $null
                if ($internal -ne '') { $between = $internal -eq [string]$raw.Thumbprint }
                $certificates += @{
                    server = [string]$server; thumbprint = [string]$raw.Thumbprint; services = $services; status = $status
                    exportable = $exportable; internal_transport = $between
                }
            }
        }
    }

    # In use means one of these three; the flag OAuthAuthentication of a virtual directory is true out of the box.
    $oauth = @{ oauth2_client_profile_enabled = $false; evosts_is_default = $false; hybrid_configuration = $false }
    if ($missing -notcontains 'Get-OrganizationConfig') {
        $oauth['oauth2_client_profile_enabled'] = [bool](Get-OrganizationConfig).OAuth2ClientProfileEnabled
    }
    if ($missing -notcontains 'Get-AuthServer') {
        foreach ($item in @(Get-AuthServer)) {
            if ($null -ne $item -and [string]$item.Name -like '*EvoSTS*' -and $item.IsDefaultAuthorizationEndpoint) { $oauth['evosts_is_default'] = $true }
        }
    }
    if ($missing -notcontains 'Get-HybridConfiguration') {
        $oauth['hybrid_configuration'] = $null -ne (Get-HybridConfiguration)
    }
    @{ outlook_anywhere = $outlookAnywhere; mrsproxy = $mrsProxy; oauth = $oauth; certificates = $certificates; missing_cmdlets = $missing }
}
finally { Remove-PSSession -Session $session }
