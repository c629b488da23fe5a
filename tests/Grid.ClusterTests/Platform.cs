using System.Runtime.Versioning;

// Real servers, signals and /proc.
[assembly: SupportedOSPlatform("linux")]
