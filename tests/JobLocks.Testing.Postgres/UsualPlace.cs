using System.Globalization;
using System.Text.RegularExpressions;

namespace JobLocks.Testing.Postgres;

/// <summary>Where an installer puts its PostgreSQL: one folder per version, whose name holds the version.</summary>
internal sealed partial record UsualPlace(string Parent, string VersionFolders)
{
    public static IReadOnlyList<UsualPlace> All { get; } = OperatingSystem.IsWindows()
        ? [new(Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.ProgramFiles), "PostgreSQL"), "*")]
        :
        [
            new("/usr/lib/postgresql", "*"),            // Debian
            new("/usr", "pgsql-*"),                     // Red Hat
            new("/opt/homebrew/opt", "postgresql*"),    // Homebrew on Apple silicon
            new("/usr/local/opt", "postgresql*"),       // Homebrew on Intel
        ];

    public IEnumerable<(Version Version, string Folder)> Installations() =>
        Directory.Exists(Parent)
            ? Directory.EnumerateDirectories(Parent, VersionFolders)
                .Select(static folder => (VersionIn(Path.GetFileName(folder)), Path.Combine(folder, "bin")))
            : [];

    public override string ToString() => Path.Combine(Parent, VersionFolders, "bin");

    private static Version VersionIn(string name)
    {
        var numbers = Numbers().Match(name);
        return numbers.Success
            ? new(Number(numbers.Groups["major"]), Number(numbers.Groups["minor"]))
            : new();
    }

    private static int Number(Group digits) =>
        int.TryParse(digits.ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;

    [GeneratedRegex(@"(?<major>[0-9]+)(\.(?<minor>[0-9]+))?", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Numbers();
}
