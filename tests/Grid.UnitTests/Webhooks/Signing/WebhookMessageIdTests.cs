using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using Grid.Protocol;
using Grid.Server.Webhooks.Signing;

namespace Grid.UnitTests.Webhooks.Signing;

public sealed class WebhookMessageIdTests
{
    private const string Alphabet = "ABCxyz019_.:~@-";

    private static readonly Arbitrary<(string Channel, Position Position)> Places = (
        from channel in Gen.Choose(1, ChannelName.MaxLength).SelectMany(n => Gen.Elements(Alphabet.ToCharArray()).ArrayOf(n))
        from epoch in Gen.Elements("", "0123456789abcdef", "p-0", "ä:€:😀", new string('€', Position.MaxEpochLength))
        from offset in Gen.OneOf(
            Gen.Choose(0, 300).Select(i => (long)i), Gen.Choose(0, int.MaxValue).Select(i => (long)i << 31), Gen.Constant(long.MaxValue))
        select (new string(channel), new Position(epoch, offset))).ToArbitrary();

    [Property]
    public Property An_id_says_its_place_and_may_be_sent() => Prop.ForAll(Places, place =>
    {
        var id = WebhookMessageId.For(place.Channel, place.Position);
        Assert.True(WebhookMessageId.IsValid(id));
        Assert.Equal(Uri.EscapeDataString(id), id);
        Assert.True(WebhookMessageId.TryParse(id, out var channel, out var position));
        Assert.Equal(place, (channel, position));
    });

    [Property]
    public Property Another_place_has_another_id() => Prop.ForAll(Places, Places, (a, b) =>
    {
        var id = WebhookMessageId.For(a.Channel, a.Position);
        Assert.True(WebhookMessageId.IsFor(id, a.Channel, a.Position));
        Assert.Equal(a == b, id == WebhookMessageId.For(b.Channel, b.Position));
        Assert.Equal(a == b, WebhookMessageId.IsFor(id, b.Channel, b.Position));
    });

    [Property(MaxTest = 500)]
    public Property A_changed_id_is_none_or_another_place(int at, char with) => Prop.ForAll(Places, place =>
    {
        var id = WebhookMessageId.For(place.Channel, place.Position);
        var changed = id.ToCharArray();
        changed[(at & int.MaxValue) % changed.Length] = with;
        var text = new string(changed);
        Assert.Equal(text == id, WebhookMessageId.IsFor(text, place.Channel, place.Position));
        if (WebhookMessageId.TryParse(text, out var channel, out var position)) Assert.Equal(text, WebhookMessageId.For(channel, position));
    });

    [Theory]
    [InlineData("")]
    [InlineData("msg_")]
    [InlineData("msg_AA")]
    [InlineData("msg_AAAA")]
    [InlineData("msg_2KWPBgLlAfxdpx2AI54pPJ85f4W")]
    [InlineData("MSG_AAFh")]
    public void What_is_no_id_of_a_place_is_refused(string text) => Assert.False(WebhookMessageId.TryParse(text, out _, out _));

    [Fact]
    public void A_place_has_one_spelling()
    {
        Assert.Equal("msg_AAFh", WebhookMessageId.For("a", new Position("", 1)));
        Assert.True(WebhookMessageId.TryParse("msg_AAFh", out _, out _));
        Assert.False(WebhookMessageId.TryParse("msg_AAFh=", out _, out _));
        Assert.False(WebhookMessageId.TryParse(" msg_AAFh", out _, out _));
        // The offset 1 in two bytes.
        Assert.False(WebhookMessageId.TryParse("msg_" + System.Buffers.Text.Base64Url.EncodeToString([0, 0x81, 0, (byte)'a']), out _, out _));
    }

    [Theory]
    [InlineData("msg_1", true)]
    [InlineData("a~b!c", true)]
    [InlineData("", false)]
    [InlineData("msg.1", false)]
    [InlineData("msg 1", false)]
    [InlineData("msg\r\nx: y", false)]
    [InlineData("größe", false)]
    public void Ids_are_printable_ascii_without_full_stop(string id, bool expected) => Assert.Equal(expected, WebhookMessageId.IsValid(id));

    [Fact]
    public void Random_ids_may_be_sent_and_are_no_places()
    {
        var id = WebhookMessageId.Random();
        Assert.True(WebhookMessageId.IsValid(id));
        Assert.False(WebhookMessageId.TryParse(id, out _, out _));
        Assert.NotEqual(id, WebhookMessageId.Random());
    }
}
