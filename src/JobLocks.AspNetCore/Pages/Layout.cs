using JobLocks.Inspection.Pages;
using JobLocks.Primitives;

namespace JobLocks.AspNetCore.Pages;

/// <summary>The frame of every page.</summary>
internal sealed class Layout(string basePath, string heading, string title, string search)
{
    public Markup Render(Markup content) => Markup.Of(
        $"""
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>{title}</title>
        <link rel="stylesheet" href="{basePath}/page.css">
        <link rel="stylesheet" href="{basePath}/plots.css">
        <link rel="stylesheet" href="{basePath}/plots-dark.css" media="(prefers-color-scheme: dark)">
        <script src="{basePath}/page.js" defer></script>
        </head>
        <body>
        <a class="skip" href="#content">Skip to the content</a>
        <header>
        <a class="home" href="{basePath}/" id="home">{heading}</a>
        <form role="search" action="{basePath}/search" method="get">
        <label for="q" class="unseen">Name, key or job id</label>
        <input id="q" name="q" type="search" placeholder="Name, key or job id" value="{DisplayText.OneLine(search ?? "")}" maxlength="500">
        <button id="find">Find</button>
        </form>
        </header>
        <main id="content" tabindex="-1">
        {content}
        </main>
        <footer><p id="state" role="status">All times are UTC where the page cannot show them in your zone.</p></footer>
        </body>
        </html>
        """);
}
