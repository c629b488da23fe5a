using System.Text;
using System.Text.Json;
using FsCheck;
using FsCheck.Xunit;
using Grid.Protocol;
using Grid.Server.Webhooks.Formats;
using Grid.Server.Webhooks.Signing;

namespace Grid.UnitTests.Webhooks.Formats;

public sealed class WebhookFormatTests
{
    private const string Epoch = "0123456789abcdef";
    private static readonly WebhookFormats Formats = new(new Uri("https://grid.example.com/"));

    private static WebhookMessage Message(
        string json = """{"n":1}""", string? type = "order.created", string? key = null, byte[]? binary = null)
    {
        var payload = binary is null ? Payload.Json(Encoding.UTF8.GetBytes(json)) : Payload.Binary(binary);
        return WebhookMessage.At(
            "orders:eu.1", Epoch, new Message { Offset = 42, At = 1795452674123, Payload = payload, Event = type, Key = key });
    }

    private static string Text(WebhookContent content) => Encoding.UTF8.GetString(content.Body.Span);

    private static Dictionary<string, string> Headers(WebhookContent content) => new(content.Headers);

    [Fact]
    public void The_envelope_is_that_of_the_contract()
    {
        var content = WebhookFormats.Default.Format(Message());
        Assert.Equal("""{"type":"order.created","timestamp":"2026-11-23T16:51:14.123Z","data":{"n":1}}""", Text(content));
        Assert.Equal("application/json", content.ContentType);
        Assert.Empty(content.Headers);
    }

    [Fact]
    public void The_envelope_holds_bytes_as_base64_under_another_name() => Assert.Equal(
        """{"type":"order.created","timestamp":"2026-11-23T16:51:14.123Z","data64":"+/8A"}""",
        Text(WebhookFormats.Default.Format(Message(binary: [0xFB, 0xFF, 0]))));

    [Fact]
    public void A_message_without_event_has_a_type_all_the_same()
    {
        Assert.StartsWith("{\"type\":\"grid.message\",", Text(WebhookFormats.Default.Format(Message(type: null))), StringComparison.Ordinal);
        Assert.Equal("grid.message", Headers(Formats.Find("cloudevents-binary")!.Format(Message(type: null)))["ce-type"]);
    }

    [Theory]
    [InlineData("{ \"a\" : 1.50e+3 ,\n\t\"b\":\"\\u00e4<>\" }")]
    [InlineData(" null ")]
    [InlineData("\"text\"")]
    [InlineData("9007199254740993")]
    public void A_json_payload_is_passed_on_byte_for_byte(string json)
    {
        Assert.EndsWith($"\"data\":{json}}}", Text(WebhookFormats.Default.Format(Message(json))), StringComparison.Ordinal);
        Assert.EndsWith($"\"data\":{json}}}", Text(Formats.Find("cloudevents")!.Format(Message(json))), StringComparison.Ordinal);
        Assert.Equal(json, Text(Formats.Find("cloudevents-binary")!.Format(Message(json))));
    }

    [Fact]
    public void Binary_mode_copies_no_payload()
    {
        var message = Message();
        Assert.True(Formats.Find("cloudevents-binary")!.Format(message).Body.Equals(message.Message.Payload.Bytes));
    }

    [Fact]
    public void Structured_mode_holds_all_attributes()
    {
        var message = Message(key: "k-1");
        var content = Formats.Find("cloudevents")!.Format(message);
        Assert.Equal(
            """{"specversion":"1.0","id":"ID","source":"https://grid.example.com/v1/channels/orders:eu.1","type":"order.created","time":"2026-11-23T16:51:14.123Z","gridchannel":"orders:eu.1","gridepoch":"0123456789abcdef","gridoffset":"42","gridkey":"k-1","datacontenttype":"application/json","data":{"n":1}}"""
                .Replace("ID", message.Id, StringComparison.Ordinal),
            Text(content));
        Assert.Equal("application/cloudevents+json; charset=utf-8", content.ContentType);
        Assert.Empty(content.Headers);
    }

    [Fact]
    public void Structured_mode_holds_bytes_as_the_specification_says()
    {
        var root = JsonDocument.Parse(Formats.Find("cloudevents")!.Format(Message(binary: [0xFB, 0xFF, 0])).Body).RootElement;
        Assert.Equal("+/8A", root.GetProperty("data_base64").GetString());
        Assert.Equal("application/octet-stream", root.GetProperty("datacontenttype").GetString());
        Assert.False(root.TryGetProperty("data", out _));
        Assert.False(root.TryGetProperty("gridkey", out _));
    }

    [Fact]
    public void Binary_mode_has_the_attributes_as_headers()
    {
        var message = Message(key: "Euro € 😀");
        var content = Formats.Find("cloudevents-binary")!.Format(message);
        Assert.Equal("application/json", content.ContentType);
        Assert.Equal(
            new Dictionary<string, string>
            {
                ["ce-specversion"] = "1.0",
                ["ce-id"] = message.Id,
                ["ce-source"] = "https://grid.example.com/v1/channels/orders:eu.1",
                ["ce-type"] = "order.created",
                ["ce-time"] = "2026-11-23T16:51:14.123Z",
                ["ce-gridchannel"] = "orders:eu.1",
                ["ce-gridepoch"] = Epoch,
                ["ce-gridoffset"] = "42",
                // The example of the HTTP protocol binding, section 3.1.3.2.
                ["ce-gridkey"] = "Euro%20%E2%82%AC%20%F0%9F%98%80",
            },
            Headers(content));
        Assert.Equal("application/octet-stream", Formats.Find("cloudevents-binary")!.Format(Message(binary: [1])).ContentType);
    }

    [Property]
    public void Header_values_are_printable_ascii_and_decode_to_what_they_were(NonNull<string> text)
    {
        var allowed = CloudEventAttributes.Allowed(text.Get);
        var encoded = CloudEventsBinaryFormat.EncodeValue(allowed);
        Assert.DoesNotContain(encoded, c => c is < '!' or > '~' or '"');
        Assert.Equal(allowed, Uri.UnescapeDataString(encoded));
    }

    [Theory]
    [InlineData("plain", "plain")]
    [InlineData("größe 😀", "größe 😀")]
    [InlineData("a\uFFFEb", "a\uFFFDb")]
    [InlineData("a\uFDD0b", "a\uFFFDb")]
    [InlineData("a\U0001FFFFb", "a\uFFFDb")]
    [InlineData("a\u0085b\n", "a\uFFFDb\uFFFD")]
    public void Attributes_hold_only_characters_that_the_specification_allows(string text, string expected) =>
        Assert.Equal(expected, CloudEventAttributes.Allowed(text));

    [Fact]
    public void Half_a_surrogate_pair_is_replaced() => Assert.Equal("a\uFFFDb", CloudEventAttributes.Allowed("a" + (char)0xD800 + "b"));

    [Property(MaxTest = 200)]
    public void The_envelope_is_json_for_every_event_and_payload(NonNull<string> type, byte[]? bytes)
    {
        var message = Message(JsonSerializer.Serialize(type.Get), type.Get, binary: bytes);
        foreach (var format in Formats.Names.Where(n => n != "cloudevents-binary"))
        {
            var root = JsonDocument.Parse(Formats.Find(format)!.Format(message).Body).RootElement;
            var name = format == "json" ? "data64" : "data_base64";
            if (bytes is null) Assert.Equal(JsonDocument.Parse(JsonSerializer.Serialize(type.Get)).RootElement.GetString(), root.GetProperty("data").GetString());
            else Assert.Equal(bytes, root.GetProperty(name).GetBytesFromBase64());
            Assert.Equal(JsonValueKind.String, root.GetProperty("type").ValueKind);
        }
    }

    [Fact]
    public void What_has_no_place_names_none()
    {
        var test = new WebhookMessage(WebhookMessageId.Random(), "grid:webhooks", "", new Message
        {
            Offset = 0, At = 0, Payload = Payload.Json("{}"u8.ToArray()), Event = "grid.test",
        });
        var root = JsonDocument.Parse(Formats.Find("cloudevents")!.Format(test).Body).RootElement;
        Assert.Equal("1970-01-01T00:00:00.000Z", root.GetProperty("time").GetString());
        Assert.False(root.TryGetProperty("gridoffset", out _));
        Assert.False(root.TryGetProperty("gridepoch", out _));
    }

    [Theory]
    [InlineData("/relative")]
    [InlineData("ftp://example.com")]
    [InlineData("https://user@example.com")]
    [InlineData("https://example.com?a=b")]
    public void The_public_url_is_a_plain_web_address(string url) =>
        Assert.Throws<ArgumentException>(() => new WebhookFormats(new Uri(url, UriKind.RelativeOrAbsolute)));

    [Fact]
    public void Without_public_url_the_source_is_relative() => Assert.Equal(
        "/v1/channels/orders:eu.1", Headers(new WebhookFormats().Find("cloudevents-binary")!.Format(Message()))["ce-source"]);

    [Fact]
    public void A_public_url_may_have_a_path() => Assert.Equal(
        "http://localhost:8080/grid/v1/channels/orders:eu.1",
        Headers(new WebhookFormats(new Uri("http://localhost:8080/grid/")).Find("cloudevents-binary")!.Format(Message()))["ce-source"]);

    [Fact]
    public void Formats_are_found_by_name()
    {
        Assert.Equal(["json", "cloudevents", "cloudevents-binary"], Formats.Names);
        Assert.All(Formats.Names, name => Assert.Equal(name, Formats.Find(name)!.Name));
        Assert.Null(Formats.Find("xml"));
    }
}
