using System.Text.RegularExpressions;
using JobLocks.Tests.Architecture;

namespace JobLocks.Tests;

/// <summary>Docs that tell the truth: each C# example is part of a project that the build compiles, and each link, file and test that is named exists.</summary>
[TestFixture]
public sealed partial class DocsTests
{
    private static readonly string Root = Repository.Root;

    private static readonly Lazy<IReadOnlyList<string>> CompiledSources = new(static () =>
        [.. Directory.EnumerateFiles(Path.Combine(Root, "samples"), "*.cs", SearchOption.AllDirectories).Where(IsSource).Select(static file => Essence(File.ReadAllText(file)))]);

    private static readonly Lazy<string> TestSources = new(static () =>
        string.Concat(Directory.EnumerateFiles(Path.Combine(Root, "tests"), "*.cs", SearchOption.AllDirectories).Where(IsSource).Select(File.ReadAllText)));

    /// <summary>A page of docs/.</summary>
    public static string Read(string page) => File.ReadAllText(Path.Combine(Root, "docs", page));

    private static IEnumerable<string> Pages() =>
        Directory.EnumerateFiles(Root, "*.md", SearchOption.AllDirectories).Where(IsSource).Select(static page => Path.GetRelativePath(Root, page));

    private static IEnumerable<TestCaseData> Examples() =>
        from page in Pages()
        from Match block in CSharpBlock().Matches(File.ReadAllText(Path.Combine(Root, page)))
        let code = block.Groups["code"].Value
        select new TestCaseData(code).SetArgDisplayNames(page, code.Trim().Split('\n')[0]);

    [TestCaseSource(nameof(Examples))]
    public void Shows_only_examples_that_are_compiled(string code) =>
        Assert.That(CompiledSources.Value.Any(source => source.Contains(Essence(code), StringComparison.Ordinal)), Is.True, $"No file under samples/ holds:\n{code}");

    [TestCaseSource(nameof(Pages))]
    public void Links_to_files_that_exist(string page)
    {
        var folder = Path.GetDirectoryName(Path.Combine(Root, page))!;
        var broken = Link().Matches(File.ReadAllText(Path.Combine(Root, page)))
            .Select(static link => link.Groups["target"].Value)
            .Where(target => !target.Contains("://", StringComparison.Ordinal) && !Path.Exists(Path.Combine(folder, target)));

        Assert.That(broken, Is.Empty);
    }

    [TestCaseSource(nameof(Pages))]
    public void Names_only_tests_and_files_that_exist(string page)
    {
        var text = File.ReadAllText(Path.Combine(Root, page));
        var tests = TestName().Matches(text).Select(static name => name.Groups["name"].Value).Where(static name => !TestSources.Value.Contains($" {name}(", StringComparison.Ordinal));
        var files = SourcePath().Matches(text).Select(static path => path.Groups["path"].Value).Where(static path => !Path.Exists(Path.Combine(Root, path)));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(tests, Is.Empty, "tests that do not exist");
            Assert.That(files, Is.Empty, "files that do not exist");
        }
    }

    [Test]
    public void Names_a_test_for_each_invariant()
    {
        var section = Read("how-it-works.md").Split("## Invariants")[1].Split("\n## ")[0];
        var invariants = Invariant().Split(section).Skip(1).ToList();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(invariants, Has.Count.GreaterThan(5));
            Assert.That(invariants.Where(static invariant => !TestName().IsMatch(invariant)), Is.Empty);
        }
    }

    [Test]
    public void Has_examples_to_check() => Assert.That(Examples().Count(), Is.GreaterThan(10));

    /// <summary>Lines without indentation and without empty ones: examples are indented as the page needs it.</summary>
    private static string Essence(string code) =>
        string.Join('\n', code.Split('\n').Select(static line => line.Trim()).Where(static line => line.Length > 0));

    private static bool IsSource(string file)
    {
        var folders = Path.GetRelativePath(Root, file).Split(Path.DirectorySeparatorChar);
        return !folders.Any(static folder => folder is "bin" or "obj" or "TestResults");
    }

    [GeneratedRegex(@"```csharp\r?\n(?<code>.*?)```", RegexOptions.Singleline | RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex CSharpBlock();

    [GeneratedRegex(@"`(?=[^`]*[a-z])(?<name>[A-Z][A-Za-z]*(_[A-Za-z0-9]+){2,})`", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex TestName();

    [GeneratedRegex(@"`(?<path>(src|tests|samples)/[A-Za-z0-9./_-]+)`", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex SourcePath();

    [GeneratedRegex(@"^\d+\. ", RegexOptions.Multiline | RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Invariant();

    [GeneratedRegex(@"\]\((?<target>[^)#]+)(#[^)]*)?\)", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Link();
}
