using Microsoft.Playwright;

namespace JobLocks.AspNetCore.Tests;

/// <summary>A browser that is installed on this machine. None is downloaded.</summary>
internal sealed class Browser : IAsyncDisposable
{
    private static readonly string[] Names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge"];

    // In an empty profile it would look for its maker's servers, and as root it needs no sandbox of its own.
    private static readonly string[] Arguments = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

    private readonly IPlaywright _playwright;
    private readonly IBrowser _browser;

    private Browser(IPlaywright playwright, IBrowser browser)
    {
        _playwright = playwright;
        _browser = browser;
    }

    /// <summary>Starts it, or ignores the test where there is none.</summary>
    public static async Task<Browser> StartAsync()
    {
        var path = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
            .SelectMany(static folder => Names.Select(name => Path.Combine(folder, OperatingSystem.IsWindows() ? $"{name}.exe" : name)))
            .FirstOrDefault(File.Exists);
        if (path is null) Miss($"No browser is installed: none of {string.Join(", ", Names)} is in the path.");

        var playwright = await Playwright.CreateAsync();
        return new(playwright, await playwright.Chromium.LaunchAsync(new() { ExecutablePath = path, Args = Arguments }));
    }

    private static void Miss(string why)
    {
        if (string.Equals(Environment.GetEnvironmentVariable("JOBLOCKS_BROWSER"), "required", StringComparison.Ordinal)) Assert.Fail(why);
        Assert.Ignore(why);
    }

    public async Task<IPage> OpenAsync(Uri address, BrowserNewContextOptions? options = null)
    {
        var context = await _browser.NewContextAsync(options);
        var page = await context.NewPageAsync();
        await page.GotoAsync(address.ToString());
        return page;
    }

    /// <summary>Closes all pages: one that is left open goes on looking.</summary>
    public async Task CloseAllAsync()
    {
        foreach (var context in _browser.Contexts.ToArray()) await context.CloseAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _browser.DisposeAsync();
        _playwright.Dispose();
    }
}
